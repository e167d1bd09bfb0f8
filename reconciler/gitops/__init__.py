"""Policy in, reports out, through the ``git`` command.

Rules of this package:

- ``git`` runs with nothing of the caller's git environment or configuration, no hooks, no prompts, no helper
  transports, bounded sizes and time (:mod:`reconciler.gitops.git`).
- The policy only moves forward; what was accepted last stays usable while the remote cannot be reached
  (:mod:`reconciler.gitops.policy_mirror`).
- A report is committed before it is pushed, is never lost and never force-pushed
  (:mod:`reconciler.gitops.report_queue`).
- What a tick does not need is looked through when somebody has touched it, and what nobody else has is kept
  twice (:mod:`reconciler.gitops.upkeep`).
- A damaged local repository is moved aside and built anew, never repaired in place
  (:mod:`reconciler.gitops.damage`).
"""
