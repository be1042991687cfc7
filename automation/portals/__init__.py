"""One adapter a portal: its terms, known to every process, and its pages, known to workers."""
