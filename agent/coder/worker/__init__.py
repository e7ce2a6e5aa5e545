"""The program of the coder's process. Only here aider and litellm are imported."""
