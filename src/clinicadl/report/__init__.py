"""What people look at: pictures of what goes in and of what comes out."""
