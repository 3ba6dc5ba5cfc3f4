"""StagePools: workers as pods."""
