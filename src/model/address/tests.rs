use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

fn git(text: &str) -> Result<Parsed, BadAddress> {
    Address::of_git(text)
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
fn g1_g2_g3_what_is_no_address_is_refused_and_never_shown() {
    let table = [
        ("", "empty"),
        ("file:///hush", "file://"),
        ("FILE:///hush", "file://"),
        ("file:hush", "file:"),
        ("/hush", "a path"),
        ("./hush", "a path"),
        ("hush", "a path"),
        ("ext::sh -c hush", "percent-encoded"),
        ("ext::hush", "transport helper"),
        ("foo::https://a.b/hush", "transport helper"),
        ("s3://a.b/hush", "no transport"),
        ("ssh://git@a.b", "no path"),
        ("ssh://git@a.b/", "no path"),
        ("ssh://git:hush@a.b/x", "keys alone"),
        ("ssh://git@-oProxyCommand=hush/x", "hyphen"),
        ("ssh://-oProxyCommand=hush@a.b/x", "hyphen"),
        ("ssh://a%2fb/hush", "no name and no address"),
        ("ssh://a.b/hush?x", "query"),
        ("git://hush@a.b/x", "not encrypted"),
        ("http://me:hush@a.b/c.git", "not encrypted"),
        ("-oProxyCommand=hush:x", "hyphen"),
        ("git@-oProxyCommand=hush:x", "hyphen"),
        ("a.b:-hush", "begins with a hyphen"),
        ("a.b:../hush", "no URL can hold"),
        ("a.b:hush//x/../y", "no URL can hold"),
        ("a.b:", "no path"),
        (":hush", "a path"),
        ("-u./hush", "hyphen"),
        ("--upload-pack=hush", "hyphen"),
        ("https://-oProxyCommand=hush/a", "hyphen"),
        ("https://-hush:x@a.b/a", "hyphen"),
        ("https:///a.b/hush", "no host"),
        ("https://", "no host"),
        ("https:/a.b/hush", "no //"),
        ("https:a.b/hush", "no //"),
        ("https://a.b", "no path"),
        ("https://a.b/hush#main", "fragment"),
        ("https://a.b/hush?x=y", "query"),
        ("https://a.b\\@c.d/hush", "percent-encoded"),
        ("https://a.b/hush\n", "control"),
        ("https://a.b/hu%0ash", "control"),
        ("https://hush%0d%0ahost=c.d@a.b/x", "control"),
        ("https://a.b/hu%00sh", "control"),
        ("https://a\tb/hush", "control"),
        ("https://a.b:99999/hush", "not a URL"),
        ("https://me:hush@[::1/x", "not a URL"),
    ];
    for (text, what) in table {
        let error = git(text).unwrap_err();
        let shown = format!("{} {}", error.what, error.fix);
        assert!(shown.contains(what) && !shown.contains("hush"), "{text}: {shown}");
    }
}

#[test]
fn ssh_keeps_its_user_and_the_path_as_it_was_meant() {
    for (text, url, path) in [
        ("ssh://git@Host:2222/team/web.git", "ssh://git@Host:2222/team/web.git", "/team/web.git"),
        ("git+ssh://host/team/web.git/", "ssh://host/team/web.git", "/team/web.git"),
        ("ssh://host/~me/a%20b", "ssh://host/~me/a%20b", "~me/a b"),
        ("git@host:team/web.git", "ssh://git@host/team/web.git", "team/web.git"),
        ("host:/srv/web.git", "ssh://host/srv/web.git", "/srv/web.git"),
        ("host:~me/web", "ssh://host/~me/web", "~me/web"),
        ("host:a%20b", "ssh://host/a%2520b", "a%20b"),
        ("git@[::1]:web", "ssh://git@[::1]/web", "web"),
        ("git://host/web.git", "git://host/web.git", "/web.git"),
    ] {
        let (address, credential) = git(text).unwrap_or_else(|bad| panic!("{text}: {}", bad.what));
        assert_eq!((address.url().as_str(), String::from_utf8(address.path()).unwrap().as_str()), (url, path), "{text}");
        assert!(credential.is_none());
    }
}

#[test]
fn g8_a_relative_url_stays_on_its_host() {
    for (base, text, want) in [
        ("https://a.b/team/web.git", "../lib.git", Some("https://a.b/team/lib.git")),
        ("https://a.b/team/web.git", "../../other/lib", Some("https://a.b/other/lib")),
        ("https://a.b/team/web.git", "./lib", Some("https://a.b/team/web.git/lib")),
        ("https://a.b:8443/web", "../lib/", Some("https://a.b:8443/lib")),
        ("git@a.b:team/web.git", "../lib.git", Some("ssh://git@a.b/team/lib.git")),
        ("https://a.b/web", "../../x", None),
        ("https://a.b/web", "../", None),
        ("https://a.b/web", "../x/../../y", None),
        ("https://a.b/web", "../x?y", None),
        ("https://a.b/web", "../x%0ay", None),
        ("https://a.b/web", "..//c.d/x", Some("https://a.b/c.d/x")),
    ] {
        let got = git(base).unwrap().0.relative(text);
        assert_eq!(got.as_ref().ok().map(|address| address.url().as_str()), want, "{base} {text}: {got:?}");
    }
    assert_eq!(git("git@a.b:team/web.git").unwrap().0.relative("../lib").unwrap().path(), b"team/lib");
}

#[test]
fn an_archive_comes_over_http() {
    for text in ["ssh://a.b/c", "git://a.b/c", "a.b:c"] {
        assert!(Address::of_web(text).unwrap_err().what.contains("no http"), "{text}");
    }
}

#[test]
fn a_query_is_kept_for_archives_and_masked_for_people() {
    let url = "https://bucket.example/src.tgz?X-Amz-Signature=hush&flag";
    let (address, _) = Address::of_web(url).unwrap();
    assert_eq!(address.url().as_str(), url);
    assert_eq!(address.shown(), "https://bucket.example/src.tgz?X-Amz-Signature=[redacted]&[redacted]");
    assert!(!format!("{address:?}").contains("hush"));
}

proptest! {
    #[test]
    fn what_gets_through_has_a_host_and_no_control_character(text in "(https://|ssh://|a:)?[ -~\\x00-\\x1f]{0,40}") {
        if let Ok((address, _)) = git(&text) {
            prop_assert!(!has_control(address.url().as_str()));
            prop_assert!(address.url().host_str().is_some_and(|host| !host.is_empty()));
            prop_assert!(address.url().password().is_none());
            prop_assert!(address.url().username().is_empty() || address.scheme() == Scheme::Ssh);
        }
    }
}
