"""The published language of onrecord: events, their envelope, and the topics they travel on."""
