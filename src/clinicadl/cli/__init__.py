"""Commands: they parse, call one public function and print."""
