"""One tick: fetch the policy, observe the machine, plan, ask every gate, report, apply.

``tick`` is the whole story, ``assess`` its first half, which is also what ``plan`` shows, ``apply`` makes a
plan real with ``surroundings`` around it, ``reporter`` commits, pushes and tells, ``reboot`` asks for a
reboot, ``policy_in_force`` says which revision holds, ``memory`` what the next tick is to know, ``ports``
what must be passed in and what that answers. What needs the outside world is passed in; what decides is
pure (``reconciler.policy``, ``reconciler.planning``) and is only called here. The rules:

- Policy only moves forward. A revision that cannot be read, is invalid, rewrites history or needs a newer
  patchledger is told in a condition, and the last good one stays in force.
- The clock is read once for each decision.
- Nothing is reported that was not observed; what was planned from stale metadata says so.
- A report is committed locally before anything else hears of it, pushed when the remote answers, and never
  lost.
- No plan is applied that was not reported before, and what came of it is seen by observing again.
"""
