"""Results for people: the HTML pages, figures for papers, image grids and tables for the terminal.

What is measured belongs in `evaluation`; nothing here runs an editor.
"""
