"""Reports to look at in a browser: numbers to one HTML file that needs nothing else."""
