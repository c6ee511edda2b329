//! A browser's upload: a form whose fields say what a PUT says in its headers, and whose policy, signed
//! by somebody who may upload, says what the fields may be.

use async_trait::async_trait;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request::Parts,
};
use wire::{
    Call, Context, Error, Route,
    s3::{
        self,
        form::{self, Fields, Form},
        policy::{self, Range},
        stated::{OBJECT_BYTES_MAX, Stated},
    },
};

use super::{Asked, Cut, Pieces, S3Streams, Upload, caller};

/// Fields that are the form's own, and no headers of a PUT.
const OF_FORMS: &[&str] = &[
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-signature",
];
/// Those that are headers of the same name.
const HEADERS: &[&str] = &[
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "content-md5",
    "expires",
];

pub async fn answer<B: S3Streams>(buckets: &B, asked: Asked<'_>) -> Response<Bytes> {
    let (route, id) = (asked.route, asked.cx.request_id.clone());
    let stored = store(buckets, asked).await;
    stored.unwrap_or_else(|error| {
        wire::encode_error(route.protocol, Some(route.service), &error, &id)
    })
}

async fn store<B: S3Streams>(buckets: &B, asked: Asked<'_>) -> Result<Response<Bytes>, Error> {
    let Asked {
        cx,
        route,
        parts,
        mut pieces,
        identity,
        sender,
        ..
    } = asked;
    let bucket = route.labels.get("Bucket").unwrap_or_default();
    let mut form = Form::new(&parts)?;
    let fields = read_fields(&mut form, pieces.as_mut()).await?;
    let named = fields.get("key").filter(|key| !key.is_empty());
    let key = named.ok_or_else(|| caller::no_field("key"))?;
    let key = key.replace("${filename}", base_name(&fields.filename));

    let mut cx = cx.clone();
    let mut bounds = None;
    if let Some(policy) = fields.get("policy") {
        let who = caller::of_form(identity, sender, &parts, &fields, policy);
        let who = who.map_err(|refused| refused.to_error(route.protocol))?;
        bounds = policy::check(policy, bucket, &fields, cx.now)?;
        cx.account_id = who.account_id;
        cx.region = who.region;
        cx.access_key_id = who.access_key_id;
        cx.role = who.role;
    }

    let put = as_put(&fields, parts.clone())?;
    let operation = route
        .service
        .operation("PutObject")
        .ok_or_else(Error::internal)?;
    let labels = route.labels.with("Key", key.clone());
    let route = Route {
        operation,
        labels,
        ..*route
    };
    let nothing = Bytes::new();
    let call = Call {
        cx: &cx,
        route: &route,
        parts: &put,
        body: &nothing,
    };
    let input: s3::PutObjectRequest = call.input()?;
    let stated = Stated::read(&put)?;
    let anything = Range {
        min: 0,
        max: OBJECT_BYTES_MAX,
    };
    let file = Box::new(File { form, pieces });
    let upload = Upload::of_form(file, stated, bounds.unwrap_or(anything));
    let output = buckets.put_object_stream(&cx, input, upload).await?;
    let etag = output.e_tag.clone().unwrap_or_default();
    let answer = call.respond(output);
    Ok(told(answer, &cx, &parts, &fields, bucket, &key, &etag))
}

async fn read_fields(form: &mut Form, pieces: &mut dyn Pieces) -> Result<Fields, Error> {
    while let Ok(Some(piece)) = pieces.next().await {
        if let Some(fields) = form.take(&piece)? {
            return Ok(fields);
        }
    }
    form.end()?;
    Err(form::malformed())
}

/// Some browsers send the whole path.
fn base_name(filename: &str) -> &str {
    filename.rsplit(['/', '\\']).next().unwrap_or_default()
}

/// The head of a PUT that says the same.
fn as_put(fields: &Fields, mut parts: Parts) -> Result<Parts, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in &fields.all {
        let is_header = HEADERS.contains(&name.as_str())
            || name.starts_with("x-amz-") && !OF_FORMS.contains(&name.as_str());
        let header = match name.as_str() {
            "acl" => "x-amz-acl",
            "tagging" => {
                let tags = s3::front::tags_in_header(value)?;
                if let Ok(value) = HeaderValue::from_str(&tags) {
                    headers.insert("x-amz-tagging", value);
                }
                continue;
            }
            name if is_header => name,
            _ => continue,
        };
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(header.as_bytes()),
            HeaderValue::from_bytes(value.as_bytes()),
        ) {
            headers.append(name, value);
        }
    }
    parts.method = Method::PUT;
    parts.headers = headers;
    Ok(parts)
}

/// What the browser is told, or where it is sent.
fn told(
    mut answer: Response<Bytes>,
    cx: &Context,
    parts: &Parts,
    fields: &Fields,
    bucket: &str,
    key: &str,
    etag: &str,
) -> Response<Bytes> {
    let location = s3::front::location(parts, &cx.host, bucket, key);
    let redirect = fields
        .get("success_action_redirect")
        .or_else(|| fields.get("redirect"))
        .and_then(|to| s3::front::redirected(to, bucket, key, etag));
    let (status, to) = match (redirect, fields.get("success_action_status")) {
        (Some(redirect), _) => (StatusCode::SEE_OTHER, redirect),
        (None, Some("200")) => (StatusCode::OK, location),
        (None, Some("201")) => {
            *answer.body_mut() = s3::front::post_response(&location, bucket, key, etag);
            let xml = HeaderValue::from_static("application/xml");
            answer.headers_mut().insert(header::CONTENT_TYPE, xml);
            (StatusCode::CREATED, location)
        }
        (None, _) => (StatusCode::NO_CONTENT, location),
    };
    *answer.status_mut() = status;
    if let Ok(to) = HeaderValue::from_str(&to) {
        answer.headers_mut().insert(header::LOCATION, to);
    }
    answer
}

/// The file's bytes, to the form's end.
struct File {
    form: Form,
    pieces: Box<dyn Pieces>,
}

#[async_trait]
impl Pieces for File {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        loop {
            if let Some(bytes) = self.form.file() {
                return Ok(Some(bytes));
            }
            if self.form.has_ended() {
                return Ok(None);
            }
            match self.pieces.next().await? {
                Some(piece) => self.form.take(&piece).map(drop).map_err(|_| Cut::Gone)?,
                None => return Err(Cut::Gone),
            }
        }
    }
}
