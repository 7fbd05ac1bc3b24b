"""Tests of assets, SDK, explorer and documents."""
