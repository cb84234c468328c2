"""`python -m services.forecast <command>`."""

from services.forecast.command import main

if __name__ == "__main__":
    main()
