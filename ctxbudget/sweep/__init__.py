"""Many settings over sessions or workflows: what each comes to, and which one to take."""
