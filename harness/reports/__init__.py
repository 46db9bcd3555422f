"""Reports of a judged run: terminal, JSON, HTML, JUnit, Markdown and GitHub annotations."""
