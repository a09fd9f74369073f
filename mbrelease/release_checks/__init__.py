"""What is asked about a release before it is pushed: is it verified, is its card true."""
