"""Line charts as text: plain Python, without a terminal library."""
