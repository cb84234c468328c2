"""`python -m services.model_proxy <command>`."""

from services.model_proxy.command import main

if __name__ == "__main__":
    main()
