"""What may go wrong around the gateway, and which test shows that it is borne."""
