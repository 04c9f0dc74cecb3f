"""Who is who: events that humans and the machine wrote down, and what they come to."""
