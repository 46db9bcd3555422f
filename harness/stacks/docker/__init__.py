"""Kafka, Redis, Postgres, Toxiproxy and the services as containers on the machine's own loopback."""
