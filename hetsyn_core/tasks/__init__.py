"""What goes in, what should come out, and how well it does."""
