"""Small real parts that stand where a model or a broker would stand."""
