"""`python -m services.model_weights <command>`."""

from services.model_weights.command import main

if __name__ == "__main__":
    main()
