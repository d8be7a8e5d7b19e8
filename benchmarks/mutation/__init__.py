"""Mutation score: which small changes of the code does no check notice?"""
