"""The page for people: a Gradio app, one conversation for each visitor, edits through the queue that all share.

What a conversation can do belongs in `editors.conversation`; here stands how it looks, and what a visitor may send.
"""
