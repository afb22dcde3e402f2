"""Serving: one queue with one worker behind all who ask for images, and the HTTP service in front of it.

How an image is edited belongs in `editors`, what starts a service in `jobs`; a page for people is one
more client of the queue.
"""
