"""One idea from prompt to verdict: the loop, its prompts, the control seeds, the confirmation.

It knows no other experiment and prints nothing.
"""
