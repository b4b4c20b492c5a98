//! By which forges people sign in to a server, as its options and variables say.

use std::path::Path;

use invar_server::team::forges::{Admits, Forge, Forges};
use invar_server::team::publish::Forge as Kind;

use crate::args::SignIn;
use crate::exit::{Code, Failure};
use crate::render::one_line;

/// The forges that were asked for. `own` is the server's own address.
pub fn forges(arguments: &SignIn, own: &str) -> Result<Forges, Failure> {
    let mut forges = Vec::new();
    for kind in Kind::ALL {
        let (id, file, url, accounts) = match kind {
            Kind::GitHub => (
                &arguments.github_client_id,
                &arguments.github_client_secret_file,
                &arguments.github_url,
                &arguments.github_accounts,
            ),
            Kind::GitLab => (
                &arguments.gitlab_client_id,
                &arguments.gitlab_client_secret_file,
                &arguments.gitlab_url,
                &arguments.gitlab_accounts,
            ),
        };
        let name = kind.name();
        let Some(client_id) = id.clone().filter(|id| !id.is_empty()) else {
            if file.is_some() {
                let error = format!("what {} calls this server is not said", kind.site());
                return Err(Failure::new(Code::Usage, error).help(format!("--{name}-client-id ID")));
            }
            continue;
        };
        let url = Forge::address(url).ok_or_else(|| {
            Failure::new(Code::Usage, format!("`{}` is no address of a forge", one_line(url)))
                .help(format!("by TLS: --{name}-url https://{name}.example.org"))
        })?;
        let admits = Admits::read(accounts).ok_or_else(|| {
            Failure::new(Code::Usage, format!("`{}` does not say who gets an account", one_line(accounts)))
                .help(format!("--{name}-accounts linked, members:ORGANISATION or anybody"))
        })?;
        let client_secret = secret(kind, file.as_deref())?;
        forges.push(Forge { kind, url, client_id, client_secret, admits });
    }
    Ok(Forges::new(forges, own.to_string()))
}

/// What a forge knows this server by: from the file, else from the variable.
fn secret(kind: Kind, file: Option<&Path>) -> Result<String, Failure> {
    let variable = format!("INVAR_{}_CLIENT_SECRET", kind.name().to_ascii_uppercase());
    let text = match file {
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            Failure::new(Code::Storage, format!("cannot read {}", path.display())).because(&error)
        })?,
        None => std::env::var(&variable).unwrap_or_default(),
    };
    match text.trim() {
        "" => {
            Err(Failure::new(Code::Usage, format!("what {} knows this server by is not said", kind.site()))
                .help(format!(
                    "in a file that only the server may read: --{}-client-secret-file FILE",
                    kind.name()
                ))
                .help(format!("or in the variable {variable}")))
        }
        text => Ok(text.to_string()),
    }
}
