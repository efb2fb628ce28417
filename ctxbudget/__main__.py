"""`python -m ctxbudget` is the `ctxbudget` command."""

from ctxbudget.cli.main import main

if __name__ == "__main__":
    main()
