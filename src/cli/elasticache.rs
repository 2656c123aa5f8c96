//! What `--for elasticache` wants of the place where a snapshot lies: its name, its bucket, and who may read it.
//!
//! Rules: "Seeding a new node-based cluster with an externally created backup" in the Amazon ElastiCache user guide.

use std::path::Path;
use std::time::Duration;

use pipeline::{Context, Error, Report, Result};
use serde_json::{Value, json};
use stores::s3::{Bucket, Patience, S3Url};
use transforms::codec::{Codec, Compression};

use super::args::{CopyArgs, ProfileArg};
use super::endpoint::To;

/// The service's canonical user, to whom an object's ACL can allow reading.
const READER: &str = "540804c33a284a299d2547575ce1010f2312ef3da9b3a053c8bc45bf233e4353";
/// The same in GovCloud (US-West).
const READER_GOVCLOUD: &str = "40fa568277ad703bd160f66ae4f83fc9dfdfd06c2f1b5060ca22442ac3ef8be6";

/// How long a question about a bucket is tried again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Regions that every account has. The others take a bucket policy and no ACL.
const DEFAULT_REGIONS: [&str; 17] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ap-south-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-north-1",
    "sa-east-1",
];

/// It reads plain files whose names end in `.rdb`.
pub(crate) fn fits(typed: &str, name: &str, compression: &Compression, encrypted: bool) -> Result<()> {
    if compression.codec != Codec::None || encrypted {
        return Err(Error::usage(format!(
            "ElastiCache reads no compressed or encrypted snapshot, and `{typed}` is one"
        ))
        .hint("let the name end in .rdb, and leave `--compress` and `--encrypt-to` out"));
    }
    if !name.is_empty() && Path::new(name).extension().is_none_or(|ending| ending != "rdb") {
        return Err(Error::usage(format!(
            "ElastiCache takes files whose names end in .rdb, and `{typed}` does not"
        ))
        .hint("let the name end in .rdb"));
    }
    if name.contains(',') {
        return Err(Error::usage(format!("ElastiCache takes no name with a comma, and `{typed}` has one"))
            .hint("name the object without it"));
    }
    Ok(())
}

/// The grantee in a region, where an ACL is enough.
fn reader(region: Option<&str>) -> Option<&'static str> {
    match region {
        Some("us-gov-west-1") => Some(READER_GOVCLOUD),
        Some(region) => DEFAULT_REGIONS.contains(&region).then_some(READER),
        None => Some(READER),
    }
}

/// Lets the service read what is stored at this address.
pub(crate) fn grant(url: &mut S3Url, region: Option<&str>) -> Result<()> {
    let region = region.or(url.region.as_deref());
    let Some(id) = reader(region) else {
        return Err(Error::usage(format!(
            "in {} ElastiCache reads by a bucket policy and by no ACL",
            region.unwrap_or_default()
        ))
        .hint("leave `--grant-elasticache` out: the run prints the policy"));
    };
    if url.acl.is_some() || url.grants.contains_key("read") || url.grants.contains_key("read_acp") {
        return Err(Error::usage("`--grant-elasticache` and an ACL in the address contradict each other")
            .hint("leave one of them out"));
    }
    for right in ["read", "read_acp"] {
        url.grants.insert(right.to_owned(), format!("id={id}"));
    }
    Ok(())
}

/// Looks at the buckets before anything is read: region and encryption. What an account may not see is told and not taken for wrong.
pub(crate) async fn look(args: &CopyArgs, targets: &[To], cx: &Context) -> Result<()> {
    if args.profile != Some(ProfileArg::Elasticache) {
        return Ok(());
    }
    if args.redis.grant_elasticache && !targets.iter().any(|target| matches!(target, To::S3(_))) {
        return Err(Error::usage("`--grant-elasticache` is for objects in S3, and no DEST is one")
            .hint("leave it out, or write to s3://BUCKET/KEY.rdb"));
    }
    for target in targets {
        if let To::S3(url) = target {
            bucket(url, args.redis.elasticache_region.as_deref(), cx).await?;
        }
    }
    Ok(())
}

async fn bucket(url: &S3Url, wanted: Option<&str>, cx: &Context) -> Result<()> {
    let unreadable = |what: &str| {
        Error::usage(format!("ElastiCache cannot read what KMS encrypts, and {what}"))
            .hint("?sse=AES256 in the address encrypts with keys of S3, which it can read")
    };
    if url.sse.as_deref().is_some_and(|sse| sse.starts_with("aws:kms")) {
        return Err(unreadable("the address asks for it"));
    }
    if url.bucket.contains('.') {
        cx.warn(format!(
            "the bucket {} has a dot in its name, which ElastiCache may not resolve",
            url.bucket
        ));
    }
    let bucket = Bucket::connect(url).await?.with_patience(Patience::new(PATIENCE.min(url.retry)));
    match bucket.region().await {
        Ok(Some(region)) => match wanted {
            Some(wanted) if wanted != region => {
                return Err(Error::usage(format!(
                    "the bucket {} is in {region}, and a cluster in {wanted} reads only buckets of its own region",
                    url.bucket
                ))
                .hint(format!("take a bucket in {wanted}, or a cluster in {region}")));
            }
            _ => cx.info(format!("the bucket {} is in {region}: so must be the cluster", url.bucket)),
        },
        Ok(None) => cx.info(format!("the store does not tell the region of {}", url.bucket)),
        Err(failure) => cx.warn(format!(
            "the region of the bucket {} could not be asked for ({failure}): it must be the cluster's",
            url.bucket
        )),
    }
    if url.sse.is_some() {
        return Ok(());
    }
    match bucket.encryption().await {
        Ok(Some(sse)) if sse.starts_with("aws:kms") => {
            Err(unreadable("the bucket encrypts with it by default"))
        }
        Ok(_) => Ok(()),
        Err(failure) => {
            cx.info(format!("how the bucket {} encrypts could not be asked for: {failure}", url.bucket));
            Ok(())
        }
    }
}

/// What is left to do for whoever creates the cluster.
#[derive(Debug)]
pub(crate) struct Seed {
    arns: Vec<String>,
    /// Per bucket, unless the objects' ACLs are enough.
    policies: Vec<Value>,
    granted: bool,
}

/// The objects that were published in S3, if they are for ElastiCache.
pub(crate) fn seed(args: &CopyArgs, report: &Report) -> Option<Seed> {
    if args.profile != Some(ProfileArg::Elasticache) {
        return None;
    }
    let mut arns = Vec::new();
    let mut policies: Vec<(String, Option<String>, Vec<String>)> = Vec::new();
    for delivery in &report.deliveries {
        let (Ok(_), Ok(To::S3(url))) = (&delivery.outcome, To::parse(&delivery.endpoint)) else { continue };
        let bucket = format!("arn:{}:s3:::{}", partition(url.region.as_deref()), url.bucket);
        let arn = format!("{bucket}/{}", url.key);
        let region = args.redis.elasticache_region.clone().or(url.region.clone());
        match policies.iter_mut().find(|(known, ..)| *known == bucket) {
            Some((.., objects)) => objects.push(arn.clone()),
            None => policies.push((bucket, region, vec![arn.clone()])),
        }
        arns.push(arn);
    }
    let granted = args.redis.grant_elasticache;
    let policies = if granted {
        Vec::new()
    } else {
        policies.iter().map(|(bucket, region, objects)| policy(bucket, region.as_deref(), objects)).collect()
    };
    (!arns.is_empty()).then_some(Seed { arns, policies, granted })
}

fn partition(region: Option<&str>) -> &'static str {
    match region {
        Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
        Some(region) if region.starts_with("cn-") => "aws-cn",
        _ => "aws",
    }
}

/// The bucket policy that lets the service of a region read these objects.
fn policy(bucket: &str, region: Option<&str>, objects: &[String]) -> Value {
    let principal = format!("{}.elasticache-snapshot.amazonaws.com", region.unwrap_or("REGION"));
    let resources: Vec<&str> = [bucket].into_iter().chain(objects.iter().map(String::as_str)).collect();
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": principal },
            "Action": ["s3:GetObject", "s3:ListBucket", "s3:GetBucketAcl"],
            "Resource": resources,
        }],
    })
}

impl Seed {
    pub(crate) fn json(&self) -> Value {
        json!({ "snapshot_arns": self.arns, "bucket_policies": self.policies, "granted_by_acl": self.granted })
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("seed the cluster with: --snapshot-arns {}", self.arns.join(" "))];
        if self.granted {
            lines.push(
                "the objects' ACLs let ElastiCache read them; the bucket's ACL must let it list objects and read the ACL".to_owned(),
            );
        }
        for policy in &self.policies {
            lines.push(format!(
                "ElastiCache must be allowed to read, by --grant-elasticache or this bucket policy: {policy}"
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_is_granted_where_an_acl_is_enough() {
        let mut url = S3Url::parse("s3://b/k.rdb?region=eu-west-1").unwrap();
        grant(&mut url, None).unwrap();
        assert_eq!(url.grants["read"], format!("id={READER}"));
        assert_eq!(url.grants["read_acp"], format!("id={READER}"));
        assert_eq!(grant(&mut url, None).unwrap_err().exit_code(), 2, "twice");
        let mut url = S3Url::parse("s3://b/k.rdb?region=eu-south-2").unwrap();
        let error = grant(&mut url, None).unwrap_err();
        assert!(error.to_string().contains("policy"), "{error}");
        let mut url = S3Url::parse("s3://b/k.rdb").unwrap();
        grant(&mut url, Some("us-gov-west-1")).unwrap();
        assert_eq!(url.grants["read"], format!("id={READER_GOVCLOUD}"));
    }

    #[test]
    fn names_and_policies() {
        let none = Compression::new(Codec::None);
        assert!(fits("s3://b/a.rdb", "a.rdb", &none, false).is_ok());
        for bad in ["a.dump", "a,b.rdb", "a.rdb.gz"] {
            assert_eq!(fits(bad, bad, &none, false).unwrap_err().exit_code(), 2, "{bad}");
        }
        assert!(fits("a.rdb", "a.rdb", &Compression::new(Codec::Zstd), false).is_err());
        assert!(fits("a.rdb", "a.rdb", &none, true).is_err());
        let policy = policy("arn:aws:s3:::b", Some("eu-south-2"), &["arn:aws:s3:::b/k.rdb".to_owned()]);
        let statement = &policy["Statement"][0];
        assert_eq!(statement["Principal"]["Service"], "eu-south-2.elasticache-snapshot.amazonaws.com");
        assert_eq!(statement["Resource"], json!(["arn:aws:s3:::b", "arn:aws:s3:::b/k.rdb"]));
    }
}
