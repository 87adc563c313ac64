//! The ways to a source's host: through proxies, past them, and what is never done on any way (promises 6 and 8).
//!
//! No name here is known to the agent's own pod, unless a test tells it: whatever is reached was reached by the proxy.

use crate::archives::tarball;
use crate::harness::git::Repository;
use crate::harness::prelude::*;
use crate::harness::proxy::{HOST, behind, hosts};
use crate::harness::tls::Tls;

/// A repository and an archive of one server: `--git` or `--archive` and where it is, as the proxies call it.
pub struct Sources {
    pub server: GitServer,
    repository: Repository,
    archive: String,
}

impl Sources {
    pub fn served(demands: &GitDemands) -> Self {
        let server = GitServer::start(demands);
        let repository = server.repository("web");
        repository.write("Dockerfile", "FROM scratch\nCOPY . /\n").write("text", "fetched");
        repository.commit("first");
        let archive = server.file("web.tgz", &tarball(&Context::with("FROM scratch\nCOPY . /\n").file("text", "fetched"), true));
        Self { server, repository, archive }
    }

    pub fn tls() -> Self {
        Self::served(&GitDemands { tls: true, ..GitDemands::default() })
    }

    /// As this machine calls them.
    pub fn here(&self) -> [(&'static str, String); 2] {
        [("--git", self.server.url(&self.repository)), ("--archive", self.archive.clone())]
    }

    fn all(&self) -> [(&'static str, String); 2] {
        [("--git", behind(&self.server.url(&self.repository))), ("--archive", behind(&self.archive))]
    }
}

/// The source stage alone, with this CA where there is one.
pub fn fetch(source: &(&str, String), ca: &str) -> Agent {
    if ca.is_empty() { fetch_with(source, &[]) } else { fetch_with(source, &[("ca.crt", ca)]) }
}

/// The source stage alone, with this secret.
pub fn fetch_with(source: &(&str, String), secret: &[(&str, &str)]) -> Agent {
    let agent = Agent::command(&["fetch", "--progress", "json", "--workspace", "/workspace", "--output", "/out/prepared"]);
    let agent = agent.args(&["--result-file", "/out/result.json", "--termination-message", "/out/termination"]).without_socket();
    let agent = agent.args(&[source.0, &source.1, "--allow", "plain-http"]);
    let agent = if source.0 == "--archive" { agent.args(&["--strip-components", "1"]) } else { agent };
    if secret.is_empty() { agent } else { agent.secret_dir("--source-secret", "/secrets/source", secret) }
}

#[test]
fn squid_tunnels_https_and_passes_http_on() {
    for tls in [true, false] {
        let sources = Sources::served(&GitDemands { tls, ..GitDemands::default() });
        let (proxy, ca) = (Proxy::squid(false, None), if tls { sources.server.ca() } else { String::new() });
        for source in sources.all() {
            let variable = if tls { "HTTPS_PROXY" } else { "http_proxy" };
            fetch(&source, &ca).env(variable, &proxy.url()).run().ok();
            let method = if tls { format!("CONNECT {HOST}:{}", sources.server.port()) } else { format!("GET {}", source.1) };
            assert!(proxy.log().contains(&method), "{method}: {}", proxy.log());
            // Without it, nobody here knows the name.
            let run = fetch(&source, &ca).run().failed(23, "SourceUnavailable", "fetch");
            assert!(run.words().contains("resolve the name"), "{}", run.words());
        }
    }
}

#[test]
fn a_proxy_is_itself_spoken_to_by_tls() {
    let (sources, proxy) = (Sources::tls(), Proxy::squid(true, None));
    let proxys_own = std::fs::read_to_string(&proxy.tls.as_ref().unwrap().ca).unwrap();
    let both = format!("{}{proxys_own}", sources.server.ca());
    for source in sources.all() {
        fetch(&source, &both).env("HTTPS_PROXY", &proxy.url()).run().ok();
        assert!(proxy.log().contains(&format!("CONNECT {HOST}:")), "{}", proxy.log());
        // Who is not trusted is named: not the source's host.
        let run = fetch(&source, &sources.server.ca()).env("HTTPS_PROXY", &proxy.url()).run().failed(25, "SourceRefused", "fetch");
        let named = format!("TLS connection to {}", proxy.url().trim_start_matches("https://"));
        assert!(run.words().contains(&named), "{named}: {}", run.words());
    }
}

#[test]
fn a_proxys_password_is_shown_to_the_proxy_and_to_nobody_else() {
    promise!(6);
    let (password, wrong) = (Canary::token("the proxy's password"), Canary::token("a wrong password"));
    let proxies = [Proxy::tinyproxy("ada", &password.value), Proxy::squid(false, Some(("ada", &password.value)))];
    for (number, proxy) in proxies.iter().enumerate() {
        for tls in [true, false] {
            let sources = Sources::served(&GitDemands { tls, ..GitDemands::default() });
            let (ca, variable) = if tls { (sources.server.ca(), "HTTPS_PROXY") } else { (String::new(), "HTTP_PROXY") };
            let with = |word: &Canary| proxy.url().replace("://", &format!("://ada:{}@", word.value));
            for source in sources.all() {
                let through = |proxy: &str| fetch(&source, &ca).env(variable, proxy).canary(&password).canary(&wrong).run();
                through(&with(&password)).ok();
                // tinyproxy answers a wrong password with 401, as if it were the source.
                let refused = [(proxy.url(), "wants a user"), (with(&wrong), "refuses the user")];
                for (refused, said) in &refused[..=number] {
                    let run = through(refused).failed(21, "SourceAuth", "fetch");
                    assert!(run.words().contains(said) && run.words().contains(&proxy.url()), "{}", run.words());
                }
            }
            let requests = sources.server.requests();
            assert!(requests.iter().all(|line| line.ends_with(" - -")) && requests.len() >= 3, "{requests:#?}");
        }
    }
}

#[test]
fn socks_resolves_the_name_here_or_there() {
    promise!(6);
    let password = Canary::new("the SOCKS proxy's password");
    let (sources, open, closed) = (Sources::tls(), Proxy::socks(None), Proxy::socks(Some(("ada", &password.value))));
    let (ca, there) = (sources.server.ca(), format!("{HOST}:{}", sources.server.port()));
    let local = open.url().replace("socks5h", "socks5");
    let mut secret = url::Url::parse(&closed.url()).unwrap();
    secret.set_username("ada").unwrap();
    secret.set_password(Some(&password.value)).unwrap();
    for source in sources.all() {
        let through = |proxy: &str| fetch(&source, &ca).env("HTTPS_PROXY", proxy).canary(&password);
        through(&open.url()).run().ok();
        assert!(open.log().contains(&there), "{}", open.log());
        through(secret.as_str()).run().ok();
        assert!(closed.log().contains(&there), "{}", closed.log());
        let mut wrong = secret.clone();
        wrong.set_password(Some("another")).unwrap();
        for (refused, said) in [(closed.url(), "wants a user"), (wrong.to_string(), "refuses the user")] {
            let run = through(&refused).run().failed(21, "SourceAuth", "fetch");
            assert!(run.words().contains(said) && run.words().contains(&closed.url()), "{}", run.words());
        }
        // The pod has to know the name itself.
        through(&local).run().failed(23, "SourceUnavailable", "fetch");
        let before = open.log().len();
        through(&local).readable(&hosts(), "/etc/hosts").run().ok();
        let log = open.log().split_off(before);
        assert!(log.contains(&there.replace(HOST, "127.0.0.1")) && !log.contains(HOST), "{log}");
    }
}

#[test]
fn what_no_proxy_names_is_gone_to_directly_and_nothing_else_is() {
    let (sources, proxy, known) = (Sources::tls(), Proxy::squid(false, None), hosts());
    let (ca, port) = (sources.server.ca(), sources.server.port());
    // (NO_PROXY, whether it excepts the host)
    let table = [
        (".test", true),
        ("*.test", true),
        ("test", true),
        (HOST, true),
        (&format!("{HOST}:{port}"), true),
        ("*", true),
        (&format!("{HOST}:1"), false),
        ("ource.test", false),
        (".source.test", false),
        ("127.0.0.1", false),
        ("127.0.0.0/8,other.test", false),
    ];
    for (number, (excepted, direct)) in table.into_iter().enumerate() {
        let source = &sources.all()[number % 2];
        let before = proxy.log().len();
        let agent = fetch(source, &ca).env("HTTPS_PROXY", &proxy.url()).env("NO_PROXY", excepted);
        let agent = agent.readable(&known, "/etc/hosts");
        agent.run().ok();
        let log = proxy.log().split_off(before);
        assert_eq!(!log.contains("CONNECT"), direct, "{excepted}: {log}");
    }
}

/// A server that lets in whom this authority vouches for.
fn for_clients_of(authority: &Tls, sends_on_to: Option<&GitServer>) -> Sources {
    let more = format!(
        "ssl.verifyclient.activate = \"enable\"\nssl.verifyclient.enforce = \"enable\"\nssl.verifyclient.ca-file = \"{}\"\n",
        authority.ca.display()
    );
    Sources::served(&GitDemands { tls: true, sends_on_to, more, ..GitDemands::default() })
}

#[test]
fn a_client_certificate_lets_in_and_a_wrong_one_does_not() {
    promise!(6);
    let new = || Tls::new_in(&Engine::shared().new_dir("ca"));
    let (authority, stranger) = (new(), new());
    let sources = for_clients_of(&authority, None);
    let ca = sources.server.ca();
    for source in sources.here() {
        let shown = |[chain, key]: &[String; 2]| fetch_with(&source, &[("ca.crt", &ca), ("tls.crt", chain), ("tls.key", key)]).run();
        shown(&authority.client).ok();
        let run = shown(&stranger.client).failed(21, "SourceAuth", "fetch");
        assert!(run.words().contains("refuses the client certificate"), "{}", run.words());
        let run = fetch(&source, &ca).run().failed(21, "SourceAuth", "fetch");
        assert!(run.words().contains("wants a client certificate") && run.words().contains("tls.crt"), "{}", run.words());
        let mixed = [authority.client[0].clone(), stranger.client[1].clone()];
        let run = shown(&mixed).ended(11, "SecretInvalid");
        assert!(run.words().contains("cannot be used together"), "{}", run.words());
    }
}

#[test]
fn g4_a_client_certificate_is_not_shown_to_where_a_redirect_leads() {
    promise!(6);
    let authority = Tls::new_in(&Engine::shared().new_dir("ca"));
    let beyond = for_clients_of(&authority, None);
    let sources = for_clients_of(&authority, Some(&beyond.server));
    let both = format!("{}{}", sources.server.ca(), beyond.server.ca());
    let [chain, key] = &authority.client;
    for source in sources.here() {
        let run = fetch_with(&source, &[("ca.crt", &both), ("tls.crt", chain), ("tls.key", key)]).run().failed(21, "SourceAuth", "fetch");
        // It would have been let in with it.
        let refused = format!("127.0.0.1:{} wants a client certificate", beyond.server.port());
        assert!(run.words().contains(&refused), "{refused}: {}", run.words());
    }
}

#[test]
fn headers_of_a_secret_are_shown_to_their_own_host_and_never_beyond_it() {
    promise!(6);
    let (token, other) = (Canary::token("a private token"), Canary::token("another header"));
    let denied = "{ url.access-deny = (\"\") }";
    // Whoever brings one of them here is turned away.
    let beyond = Sources::served(&GitDemands {
        tls: true,
        more: format!("$REQUEST_HEADER[\"PRIVATE-TOKEN\"] =~ \".\" {denied}\n$REQUEST_HEADER[\"X-Other\"] =~ \".\" {denied}\n"),
        ..GitDemands::default()
    });
    let demanding = |sends_on_to| {
        let wanted = |name: &str, value: &str| format!("$REQUEST_HEADER[\"{name}\"] != \"{value}\" {denied}\n");
        let more = wanted("PRIVATE-TOKEN", &token.value) + &wanted("X-Other", &other.value);
        Sources::served(&GitDemands { tls: true, more, sends_on_to, ..GitDemands::default() })
    };
    let (alone, sending) = (demanding(None), demanding(Some(&beyond.server)));
    let ca = [&alone, &sending, &beyond].map(|sources| sources.server.ca()).concat();
    let lines = format!("PRIVATE-TOKEN: {}\n\nx-other: {}\n", token.value, other.value);
    let with = |source: &(&str, String), lines: &str| fetch_with(source, &[("ca.crt", &ca), ("headers", lines)]).run();
    for source in alone.here() {
        with(&source, &lines).ok();
        let run = with(&source, &lines.replace(&token.value, "another-token")).failed(21, "SourceAuth", "fetch");
        assert!(run.words().contains("refuse"), "{}", run.words());
        fetch(&source, &ca).run().failed(21, "SourceAuth", "fetch");
        with(&source, &format!("{lines}Range: bytes=1000000-\n")).ended(11, "SecretInvalid");
    }
    for source in sending.here() {
        with(&source, &lines).ok();
        // It does not send on whom it does not know.
        fetch(&source, &ca).run().failed(21, "SourceAuth", "fetch");
    }
    // Nothing of it travels in the clear.
    let plain = Sources::served(&GitDemands::default());
    for source in plain.here() {
        with(&source, &lines).ended(10, "RequestInvalid");
    }
    assert_eq!(plain.server.requests(), Vec::<String>::new());
}

#[test]
fn a_submodule_behind_socks_is_shown_the_certificate_of_its_own_secret() {
    promise!(6);
    let authority = Tls::new_in(&Engine::shared().new_dir("ca"));
    let guarded = for_clients_of(&authority, None);
    let (proxy, server) = (Proxy::socks(None), GitServer::start(&GitDemands { tls: true, ..GitDemands::default() }));
    let main = server.repository("main");
    main.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    main.commit("first");
    let commit = guarded.repository.git(&["rev-parse", "HEAD"]);
    // The repository names it, so the pod looks at its address, and the proxy is told that alone.
    main.submodule("web", &behind(&guarded.server.url(&guarded.repository)), &commit).commit_submodules("second");
    let place = format!("https://{HOST}:{}=/secrets/web", guarded.server.port());
    let [chain, key] = &authority.client;
    let run = |files: &[(&str, &str)]| {
        let agent = fetch(&("--git", server.url(&main)), &server.ca()).args(&["--submodules", "--git-secret", &place]);
        let agent = agent.secret_files("/secrets/web", files).env("HTTPS_PROXY", &proxy.url().replace("socks5h", "socks5"));
        agent.readable(&hosts(), "/etc/hosts").run()
    };
    let ca = guarded.server.ca();
    run(&[("ca.crt", &ca), ("tls.crt", chain), ("tls.key", key)]).ok();
    assert!(proxy.log().contains(&format!("127.0.0.1:{}", guarded.server.port())), "{}", proxy.log());
    let without = run(&[("ca.crt", &ca)]);
    assert_ne!(without.code, 0, "it would have been let in anyway");
}
