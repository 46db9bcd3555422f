"""The files that ``oneffect init`` writes: two small services, their system file, and a scenario for them."""
