"""From observation to plan, decision and report. Pure functions of policy, observation and time."""
