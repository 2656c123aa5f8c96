"""What an API server of 1.20 can judge of a rendered overlay, and the Job and the Pod that come of its CronJob.

Two things are changed and nothing else: the CronJob is given as batch/v1beta1, and the podFailurePolicy is taken out.

    for-1.20.py RENDERED [KIND...]"""

import copy
import pathlib
import sys

import yaml

resources = [r for r in yaml.safe_load_all(pathlib.Path(sys.argv[1]).read_text()) if r]
jobs = [r for r in resources if r["kind"] == "CronJob"]
if len(jobs) != 1 or jobs[0]["apiVersion"] != "batch/v1":
    sys.exit("one CronJob of batch/v1 is expected")
spec = jobs[0]["spec"]["jobTemplate"]
if not spec["spec"].pop("podFailurePolicy")["rules"]:
    sys.exit("a podFailurePolicy is expected")
jobs[0]["apiVersion"] = "batch/v1beta1"

# `kubectl create job --from=cronjob/dbferry` makes the one, its controller the other.
for kind, version, template in (("Job", "batch/v1", spec), ("Pod", "v1", spec["spec"]["template"])):
    made = copy.deepcopy(template)
    made.update({"apiVersion": version, "kind": kind})
    made.setdefault("metadata", {})["name"] = "dbferry-by-hand"
    resources.append(made)
chosen = [r for r in resources if r["kind"] in (sys.argv[2:] or [r["kind"]])]
yaml.safe_dump_all(chosen, sys.stdout, sort_keys=False)
