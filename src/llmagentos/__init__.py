"""LLMAgentOS: unlabelled text in, a measured embedding model out."""
