"""Renders kustomizations and validates what comes of them."""

import pathlib
import sys

import kubernetes_validate
import yaml

# Earlier schemas wrongly demand `onPodConditions` of every rule of a podFailurePolicy; the servers never did.
VERSIONS = ["1.31", "1.33", "1.37"]


def render(folder):
    """The resources of a kustomization, with its patches applied."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    resources = []
    for name in kustomization.pop("resources"):
        path = (folder / name).resolve()
        if path.is_dir():
            resources += render(path)
        else:
            resources += [document for document in yaml.safe_load_all(path.read_text()) if document]
    for generator in kustomization.pop("configMapGenerator", []):
        data = {name: (folder / name).read_text() for name in generator["files"]}
        resources.append(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}
        )
    for patch in kustomization.pop("patches", []):
        target = patch["target"]
        hits = [r for r in resources if (r["kind"], r["metadata"]["name"]) == (target["kind"], target["name"])]
        if len(hits) != 1:
            sys.exit(f"{folder}: a patch fits {len(hits)} resources: {target}")
        for step in yaml.safe_load(patch["patch"]):
            apply(hits[0], step)
    unknown = set(kustomization) - {"apiVersion", "kind"}
    if unknown:
        sys.exit(f"{folder}: this script does not render {unknown}")
    return resources


def apply(resource, step):
    """One `add` of RFC 6902."""
    if step["op"] != "add":
        sys.exit(f"this script knows no `{step['op']}`")
    *path, last = step["path"].strip("/").split("/")
    at = resource
    for key in path:
        at = at[int(key)] if isinstance(at, list) else at[key]
    if isinstance(at, list):
        at.insert(len(at) if last == "-" else int(last), step["value"])
    else:
        at[last] = step["value"]


def references(resources):
    """What a container names must be there."""
    for resource in resources:
        if resource["kind"] != "CronJob":
            continue
        pod = resource["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        maps = {r["metadata"]["name"] for r in resources if r["kind"] == "ConfigMap"}
        for volume in pod["volumes"]:
            if "configMap" in volume and volume["configMap"]["name"] not in maps:
                sys.exit(f"no config map {volume['configMap']['name']}")
        for container in pod["containers"]:
            for mount in container["volumeMounts"]:
                if mount["name"] not in volumes:
                    sys.exit(f"no volume {mount['name']}")
            if any("runAsUser" in place for place in (container["securityContext"], pod["securityContext"])):
                sys.exit("OpenShift chooses the user")
            if not container["securityContext"]["readOnlyRootFilesystem"]:
                sys.exit("the root file system must be read-only")
        # What a server demands beyond its schema: https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy
        if pod["restartPolicy"] != "Never":
            sys.exit("a podFailurePolicy wants restartPolicy: Never")
        rules = resource["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
        names = {container["name"] for container in pod["containers"]}
        for rule in rules:
            if len({"onExitCodes", "onPodConditions"} & set(rule)) != 1:
                sys.exit(f"a rule has exit codes or conditions, one of the two: {rule}")
            codes = rule.get("onExitCodes")
            if codes and (
                codes["containerName"] not in names
                or codes["operator"] != "In"
                or sorted(set(codes["values"])) != codes["values"]
                or not 0 < codes["values"][0] <= codes["values"][-1] <= 255
                # Worth another try, by docs/exit-codes.md.
                or {3, 5, 75} & set(codes["values"])
            ):
                sys.exit(f"a rule that cannot be right: {rule}")


for argument in sys.argv[1:]:
    resources = render(pathlib.Path(argument))
    references(resources)
    for version in VERSIONS:
        for resource in resources:
            try:
                kubernetes_validate.validate(resource, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                sys.exit(f"{argument}: {resource['kind']} is not what Kubernetes {version} takes: {error}")
    print(f"{argument}: {len(resources)} resources, as Kubernetes {', '.join(VERSIONS)} take them")
