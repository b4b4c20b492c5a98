//! Uploads in parts: what breaks off is gone on with at whichever server, and what is whole is verified like any other upload.

use axum::http::StatusCode;
use invar_server::team::upload::{Limits, sha256};
use invar_server::team::{Team, router};

use crate::fixture::{Asking, PRIVATE, Said, run, runs, sent};

const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
const TYPE: (&str, &str) = ("content-type", "application/offset+octet-stream");

fn uploads() -> String {
    format!("/api/v1/projects/{PRIVATE}/uploads")
}

/// The run with its profile, packed as it is sent, which is a few hundred bytes.
fn packed(number: u32) -> Vec<u8> {
    zstd::encode_all(&sent(number)[..], 1).unwrap()
}

async fn begin(asking: &Asking, token: &str, length: usize, digest: Option<&str>) -> Said {
    let length = length.to_string();
    let mut headers = vec![TUS, ("upload-length", length.as_str())];
    headers.extend(digest.map(|digest| ("invar-sha256", digest)));
    asking.saying("POST", &uploads(), Some(token), &headers, Vec::new()).await
}

async fn part(asking: &Asking, token: &str, at: &str, start: usize, content: &[u8]) -> Said {
    let start = start.to_string();
    let headers = [TUS, TYPE, ("upload-offset", start.as_str())];
    asking.saying("PATCH", at, Some(token), &headers, content.to_vec()).await
}

async fn look(asking: &Asking, token: &str, at: &str) -> (u16, String) {
    let said = asking.saying("HEAD", at, Some(token), &[TUS], Vec::new()).await;
    (said.status.as_u16(), said.offset)
}

/// Makes a run of an upload.
async fn finish(asking: &Asking, token: &str, at: &str, digest: &str) -> Said {
    let id = at.rsplit('/').next().unwrap();
    let headers = [("invar-upload", id), ("content-encoding", "zstd"), ("invar-sha256", digest)];
    asking.saying("POST", &runs(PRIVATE), Some(token), &headers, Vec::new()).await
}

#[tokio::test]
async fn two_servers_take_parts_of_one_upload_and_make_one_run_of_it() {
    let one = Asking::new().await;
    let other = Asking {
        store: one.store.clone(),
        folder: tempfile::tempdir().unwrap(),
        router: router(Team::new(one.store.clone(), Limits::default(), |_| ())),
    };
    let token = one.token(PRIVATE, "read upload", None).await;
    let body = packed(1);
    let digest = sha256(&body);
    let begun = begin(&one, &token, body.len(), Some(&digest)).await;
    assert_eq!((begun.status, begun.offset.as_str()), (StatusCode::CREATED, "0"), "{}", begun.text());
    let at = begun.location;
    let (half, two) = (body.len() / 2, body.len() / 3);
    assert_eq!(part(&one, &token, &at, 0, &body[..two]).await.status, StatusCode::NO_CONTENT);
    assert_eq!(look(&other, &token, &at).await, (200, two.to_string()));
    // Sent again, and at the wrong place: neither is kept.
    let again = part(&other, &token, &at, 0, &body[..two]).await;
    assert_eq!((again.status, again.offset), (StatusCode::CONFLICT, two.to_string()));
    assert_eq!(part(&other, &token, &at, half, &body[half..]).await.status, StatusCode::CONFLICT);
    let early = finish(&one, &token, &at, &digest).await;
    assert_eq!(early.status, StatusCode::CONFLICT);
    assert!(early.text().contains(&format!("{two} of {} bytes", body.len())), "{}", early.text());
    assert_eq!(part(&other, &token, &at, two, &body[two..half]).await.offset, half.to_string());
    // Nobody sees anything yet; who begins it anew finds what is there.
    assert_eq!(one.kept(PRIVATE).await, 0);
    let found = begin(&other, &token, body.len(), Some(&digest)).await;
    assert_eq!((found.location.as_str(), found.offset), (at.as_str(), half.to_string()));
    assert_eq!(part(&one, &token, &at, half, &body[half..]).await.offset, body.len().to_string());
    let made = finish(&other, &token, &at, &digest).await;
    assert_eq!((made.status, &made.json()["profiles"]), (StatusCode::CREATED, &1.into()));
    assert_eq!(made.location, format!("{}/{}", runs(PRIVATE), run(1).id));
    // Who was not told asks once more.
    assert_eq!(finish(&one, &token, &at, &digest).await.status, StatusCode::OK);
    assert_eq!(one.kept(PRIVATE).await, 1);
}

#[tokio::test]
async fn what_is_whole_is_verified_and_goes_if_it_is_refused() {
    let asking = Asking::new().await;
    let token = asking.token(PRIVATE, "upload", None).await;
    let (body, mut damaged) = (packed(1), packed(1));
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    for (content, digest, expected) in [
        (damaged.clone(), sha256(&body), "SHA-256"),
        (damaged.clone(), sha256(&damaged), "The run was not kept"),
        (body[..last].to_vec(), sha256(&body[..last]), "cut short"),
    ] {
        let at = begin(&asking, &token, content.len(), None).await.location;
        part(&asking, &token, &at, 0, &content).await;
        let said = finish(&asking, &token, &at, &digest).await;
        assert_eq!(said.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", said.text());
        assert!(said.text().contains(expected), "{}", said.text());
        assert_eq!(look(&asking, &token, &at).await.0, 404);
    }
    assert_eq!(asking.kept(PRIVATE).await, 0);
}

#[tokio::test]
async fn no_more_is_taken_than_may_be() {
    let asking = Asking::new().await;
    let token = asking.token(PRIVATE, "upload", None).await;
    assert_eq!(begin(&asking, &token, (64 << 10) + 1, None).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let at = begin(&asking, &token, 40_000, None).await.location;
    // More than a part has, and more than was said.
    let large = part(&asking, &token, &at, 0, &[0; (16 << 10) + 1]).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    for number in 0..2 {
        let start = number * (16 << 10);
        assert_eq!(part(&asking, &token, &at, start, &[7; 16 << 10]).await.status, StatusCode::NO_CONTENT);
    }
    let more = part(&asking, &token, &at, 2 << 14, &[7; 8000]).await;
    assert_eq!(more.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(look(&asking, &token, &at).await, (200, (2 << 14).to_string()));
    for _ in 0..3 {
        assert_eq!(begin(&asking, &token, 9, None).await.status, StatusCode::CREATED);
    }
    let one_more = begin(&asking, &token, 9, None).await;
    assert_eq!(one_more.status, StatusCode::TOO_MANY_REQUESTS, "{}", one_more.text());
    let given_up = asking.saying("DELETE", &at, Some(&token), &[TUS], Vec::new()).await;
    assert_eq!(given_up.status, StatusCode::NO_CONTENT);
    assert_eq!(look(&asking, &token, &at).await.0, 404);
    assert_eq!(begin(&asking, &token, 9, None).await.status, StatusCode::CREATED);
    // With a body, an upload that is made a run of is two things.
    let headers = [("invar-upload", "x")];
    let both = asking.saying("POST", &runs(PRIVATE), Some(&token), &headers, sent(1)).await;
    assert_eq!(both.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn who_speaks_another_protocol_is_told_which_one_is_spoken() {
    let asking = Asking::new().await;
    let token = asking.token(PRIVATE, "upload", None).await;
    let at = begin(&asking, &token, 9, None).await.location;
    for (method, address) in
        [("POST", uploads()), ("HEAD", at.clone()), ("PATCH", at.clone()), ("DELETE", at)]
    {
        let said =
            asking.saying(method, &address, Some(&token), &[("tus-resumable", "0.2.2")], Vec::new()).await;
        assert_eq!(said.status, StatusCode::PRECONDITION_FAILED, "{method}");
    }
}
