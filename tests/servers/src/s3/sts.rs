//! As much of AWS's Security Token Service as it takes to assume a role (AWS Security Token Service API Reference, "AssumeRole").

use percent_encoding::percent_decode_str;

use super::request::{Answer, Request};
use super::store::iso;
use super::{Account, Shared, locked};

pub(super) fn is_meant(request: &Request) -> bool {
    request.method == "POST" && request.bucket.is_empty() && request.body.starts_with(b"Action=")
}

/// Gives keys for the role, and knows them from then on.
pub(super) fn assume(request: &Request, server: &Shared, now: i64) -> Answer {
    let form = String::from_utf8_lossy(&request.body).into_owned();
    let field = |name: &str| {
        let pair = form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        pair.map(|value| percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    let mut roles = locked(&server.roles);
    let role = field("RoleArn").and_then(|arn| roles.iter_mut().find(|role| role.arn == arn));
    let Some(role) = role.filter(|role| role.external_id == field("ExternalId")) else {
        return Answer {
            status: 403,
            ..Answer::xml(
                "<ErrorResponse><Error><Code>AccessDenied</Code><Message>this account may not assume that role</Message></Error></ErrorResponse>",
            )
        };
    };
    role.assumed += 1;
    let account = Account {
        id: format!("ASIAROLE{}", role.assumed),
        secret: format!("secret-of-role-{}", role.assumed),
        token: Some(format!("token-{}", role.assumed)),
        until: Some(now + role.seconds),
    };
    let until = now + role.seconds;
    let answer = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials><AccessKeyId>{}</AccessKeyId>\
         <SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken><Expiration>{}</Expiration></Credentials></AssumeRoleResult>\
         </AssumeRoleResponse>",
        account.id,
        account.secret,
        account.token.as_deref().unwrap_or_default(),
        iso(until)
    );
    locked(&server.accounts).push(account);
    Answer::xml(answer)
}
