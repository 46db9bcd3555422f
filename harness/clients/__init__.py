"""The only places that import aiokafka, redis, httpx and database drivers."""
