use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use crate::model::{Classified, Reason};

fn git(text: &str) -> Result<(Address, Option<UrlCredential>), ConfigError> {
    parse("source.git.url", text, Purpose::Git, &Policy::default())
}

#[test]
fn credentials_leave_the_url_and_keep_its_origin() {
    let (address, credential) = git("https://me:p%40ss@Git.Example.com:443/team/web.git").unwrap();
    assert_eq!(address.url().as_str(), "https://git.example.com/team/web.git");
    let credential = credential.unwrap();
    assert_eq!(credential.origin, "https://git.example.com");
    assert_eq!((credential.username.expose_secret(), credential.password.expose_secret()), ("me", "p@ss"));
    let (_, token) = git("https://ghp_hush@git.example.com:8443/a").unwrap();
    let token = token.unwrap();
    assert_eq!((token.origin.as_str(), token.secret().expose_secret()), ("https://git.example.com:8443", "ghp_hush"));
    assert!(!format!("{token:?}").contains("hush"));
    assert!(git("https://git.example.com/a.git").unwrap().1.is_none());
}

#[test]
fn what_is_not_plain_https_is_refused_and_never_shown() {
    use Reason::{NotPermitted, RequestInvalid};
    let table = [
        ("", RequestInvalid, "empty"),
        ("http://127.0.0.1/hush.git", NotPermitted, "\"plain-http\""),
        ("HTTP://a.b/hush.git", NotPermitted, "\"plain-http\""),
        ("ssh://git@a.b/hush.git", RequestInvalid, "not built yet"),
        ("git@a.b:hush.git", RequestInvalid, "not built yet"),
        ("a.b:hush.git", RequestInvalid, "not built yet"),
        ("git://a.b/hush.git", RequestInvalid, "not built yet"),
        ("file:///hush", RequestInvalid, "file://"),
        ("FILE:///hush", RequestInvalid, "file://"),
        ("file:hush", RequestInvalid, "file:"),
        ("/hush", RequestInvalid, "a path"),
        ("./hush", RequestInvalid, "a path"),
        ("hush", RequestInvalid, "a path"),
        ("ext::sh -c hush", RequestInvalid, "percent-encoded"),
        ("ext::hush", RequestInvalid, "transport helper"),
        ("foo::https://a.b/hush", RequestInvalid, "transport helper"),
        ("s3://a.b/hush", RequestInvalid, "no transport"),
        ("-u./hush", RequestInvalid, "hyphen"),
        ("--upload-pack=hush", RequestInvalid, "hyphen"),
        ("https://-oProxyCommand=hush/a", RequestInvalid, "hyphen"),
        ("https://-hush:x@a.b/a", RequestInvalid, "hyphen"),
        ("https:///a.b/hush", RequestInvalid, "no host"),
        ("https://", RequestInvalid, "no host"),
        ("https:/a.b/hush", RequestInvalid, "no //"),
        ("https:a.b/hush", RequestInvalid, "no //"),
        ("https://a.b", RequestInvalid, "no path"),
        ("https://a.b/hush#main", RequestInvalid, "fragment"),
        ("https://a.b/hush?x=y", RequestInvalid, "query"),
        ("https://a.b\\@c.d/hush", RequestInvalid, "percent-encoded"),
        ("https://a.b/hush\n", RequestInvalid, "control"),
        ("https://a.b/hu%0ash", RequestInvalid, "control"),
        ("https://hush%0d%0ahost=c.d@a.b/x", RequestInvalid, "control"),
        ("https://a.b/hu%00sh", RequestInvalid, "control"),
        ("https://a\tb/hush", RequestInvalid, "control"),
        ("https://a.b:99999/hush", RequestInvalid, "not a URL"),
        ("https://me:hush@[::1/x", RequestInvalid, "not a URL"),
    ];
    for (text, reason, what) in table {
        let error = git(text).unwrap_err();
        let shown = format!("{error} {}", error.hint().unwrap_or_default());
        assert_eq!(error.reason(), reason, "{text}: {error}");
        assert!(shown.contains(what), "{text}: {shown}");
        assert!(shown.contains("source.git.url") && !shown.contains("hush"), "{text}: {shown}");
    }
}

#[test]
fn plain_http_where_allowed_takes_no_credentials() {
    let mut policy = Policy::default();
    policy.allow("--allow", "plain-http").unwrap();
    assert!(parse("f", "http://a.b/c.git", Purpose::Git, &policy).is_ok());
    let error = parse("f", "http://me:hush@a.b/c.git", Purpose::Git, &policy).unwrap_err();
    assert!(error.to_string().contains("not encrypted") && !error.to_string().contains("hush"));
}

#[test]
fn a_query_is_kept_for_archives_and_masked_for_people() {
    let url = "https://bucket.example/src.tgz?X-Amz-Signature=hush&flag";
    let (address, _) = parse("f", url, Purpose::Archive, &Policy::default()).unwrap();
    assert_eq!(address.url().as_str(), url);
    assert_eq!(address.shown(), "https://bucket.example/src.tgz?X-Amz-Signature=[redacted]&[redacted]");
    assert!(!format!("{address:?}").contains("hush"));
}

proptest! {
    #[test]
    fn what_gets_through_has_a_host_and_no_control_character(text in "(https://)?[ -~\\x00-\\x1f]{0,40}") {
        if let Ok((address, _)) = git(&text) {
            prop_assert!(!has_control(address.url().as_str()));
            prop_assert!(address.url().host_str().is_some_and(|host| !host.is_empty()));
            prop_assert!(address.url().username().is_empty() && address.url().password().is_none());
        }
    }
}
