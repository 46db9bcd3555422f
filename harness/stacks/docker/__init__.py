"""Kafka, Redis, Postgres, Toxiproxy and the services as containers on the host's loopback."""
