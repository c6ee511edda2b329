"""What the tests share: the server under test, code packages, and how AWS names things."""
