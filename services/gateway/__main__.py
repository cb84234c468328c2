"""`python -m services.gateway <command>`."""

from services.gateway.command import main

if __name__ == "__main__":
    main()
