"""Comparisons that anyone can repeat: `python -m bench [NAME] [--quick]`. Each states a goal and what was measured."""
