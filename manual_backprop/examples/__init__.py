"""Backpropagation in the small: ``python -m manual_backprop.examples.neuron`` and others."""
