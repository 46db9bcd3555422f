"""Clients of brokers, stores and services; nothing else imports aiokafka, redis, httpx or database drivers."""
