"""How a program is confined: the policy, what works on this machine, and the warm server that
starts programs in it.
"""
