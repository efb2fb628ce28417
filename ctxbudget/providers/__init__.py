"""What is known of providers: their models and windows, their prices, and how they refuse a prompt."""
