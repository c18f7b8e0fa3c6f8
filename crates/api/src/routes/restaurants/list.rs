//! The list of restaurants, and the search for restaurants that deliver to a place.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use dabba_domain::{
    ExternalId, RestaurantId, limits::MAX_NAME_LENGTH, menu::searchable, restaurant::Location,
};
use dabba_engine::{Boards, Catalogues, RestaurantSearch, SearchPage, SearchPosition};
use dabba_store::{PageSize, RestaurantPage};
use dabba_web::extract::{Cursor as _, FromParameters, KnownCaller, Parameters, QueryOf};
use utoipa::IntoParams;

use crate::{
    app::App,
    bodies::restaurants::{RestaurantBody, RestaurantListBody},
    problem::{BadParameter, Failures, Result},
    routes::lists,
};

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what RestaurantListQuery reads")]
pub(super) struct RestaurantListParameters {
    /// Maximum number of entries in the page. 1 to 100; default 50.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
    /// `true`: only permanently closed restaurants; `false`: only the others. Default: all restaurants. Not with `near`,
    /// which never finds permanently closed restaurants.
    closed: Option<bool>,
    /// Only the restaurant with this external id. Not with `near`.
    external_id: Option<String>,
    /// Only restaurants that deliver to this place, nearest first: its latitude and longitude in degrees, separated by a
    /// comma.
    #[param(
        example = "51.5072,-0.1276",
        pattern = "^-?[0-9]{1,2}([.][0-9]{1,15})?,-?[0-9]{1,3}([.][0-9]{1,15})?$"
    )]
    near: Option<String>,
    /// `true`: only restaurants that take orders now; `false`: only the others. Default: both. Only with `near`.
    open: Option<bool>,
    /// Only restaurants in whose names all these words occur, without differences of case and accents. A word may be a part
    /// of a longer word. Only with `near`.
    #[param(min_length = 1, max_length = 120)]
    q: Option<String>,
}

/// Query of the list of restaurants.
pub(super) enum RestaurantListQuery {
    /// All restaurants, oldest first.
    All(AllQuery),
    /// The restaurants that deliver to a place.
    Near(RestaurantSearch),
}

pub(super) struct AllQuery {
    limit: PageSize,
    cursor: Option<RestaurantId>,
    is_closed: Option<bool>,
    external_id: Option<ExternalId>,
}

impl FromParameters for RestaurantListQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        let is_closed = parameters.take_bool("closed");
        let external_id =
            parameters.take("external_id", |value| ExternalId::new(value).map_err(|error| error.to_string()));
        let has_place = parameters.has("near");
        let place = parameters.take("near", read_place);
        let is_open = parameters.take_bool("open");
        let text = parameters.take("q", read_text);
        let limit = parameters.take_limit();
        if !has_place {
            let needs_place = [("open", is_open.is_some()), ("q", text.is_some())];
            for (name, _) in needs_place.into_iter().filter(|(_, is_given)| *is_given) {
                parameters.refuse(name, "is allowed only together with near");
            }
            return Self::All(AllQuery { limit, cursor: parameters.take_cursor(), is_closed, external_id });
        }
        for (name, is_given) in [("closed", is_closed.is_some()), ("external_id", external_id.is_some())] {
            if is_given {
                parameters.refuse(name, "is not allowed together with near");
            }
        }
        let after: Option<SearchPosition> = parameters.take_cursor();
        // Without a place, the parameter has a problem, and the query is not used.
        let place = place.unwrap_or(Location { lat: 0.0, lng: 0.0 });
        let limit = usize::try_from(limit.get()).unwrap_or(usize::MAX);
        Self::Near(RestaurantSearch { place, is_open, text, after, limit })
    }
}

/// Reads latitude and longitude.
fn read_place(text: &str) -> std::result::Result<Location, String> {
    let read = || {
        let (lat, lng) = text.split_once(',')?;
        // The parser of numbers also reads exponents, infinities and signs that no map writes.
        let is_plain = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-'));
        let number = |text: &str, max: f64| {
            let number = text.parse::<f64>().ok().filter(|_| is_plain(text))?;
            (-max..=max).contains(&number).then_some(number)
        };
        Some(Location { lat: number(lat, 90.0)?, lng: number(lng, 180.0)? })
    };
    read().ok_or_else(|| {
        "must be a latitude from -90 to 90 and a longitude from -180 to 180, such as 51.5072,-0.1276"
            .to_owned()
    })
}

fn read_text(text: &str) -> std::result::Result<String, String> {
    if text.chars().count() > MAX_NAME_LENGTH {
        return Err(format!("must have at most {MAX_NAME_LENGTH} characters"));
    }
    if searchable(text).trim().is_empty() {
        return Err("must contain a word".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads a page of all restaurants.
async fn read_page(catalogue: &Catalogues, query: &AllQuery) -> Result<RestaurantPage> {
    let AllQuery { limit, cursor, is_closed, external_id } = query;
    let Some(external_id) = external_id else {
        return Ok(catalogue.restaurants(*cursor, *is_closed, limit.and_one_more()).await?);
    };
    let found = catalogue.restaurant_by_external_id(external_id).await?;
    let restaurants = found.into_iter().map(|entry| entry.restaurant().clone());
    let restaurants = restaurants.filter(|restaurant| {
        is_closed.is_none_or(|is_closed| restaurant.closed.is_some() == is_closed)
            && cursor.is_none_or(|cursor| restaurant.id > cursor)
    });
    Ok(RestaurantPage { restaurants: restaurants.collect(), ..RestaurantPage::default() })
}

/// Lists restaurants
///
/// For everyone; oldest first. The list includes permanently closed restaurants; `closed=false` excludes them. Only admins
/// see `unattended_since`.
///
/// With `near`, the list contains the restaurants that deliver to a place, nearest first, and their `near` states the
/// distance and the terms. A restaurant with delivery zones delivers to the places within them. A restaurant without
/// delivery zones is listed within 5 km of its location, although it accepts orders for every address. Restaurants without
/// a location are listed last. The server answers from memory: changes by other servers follow within 10 seconds.
#[utoipa::path(
    get, path = "/v1/restaurants", tag = "restaurants",
    params(RestaurantListParameters),
    responses(
        (status = 200, description = "A page of restaurants.", body = RestaurantListBody, headers(
            ("Dabba-Incomplete" = String, description = "`true` if restaurants may be missing, like `incomplete` in the body."),
        )),
        BadParameter, Failures,
    ),
    security((), ("bearer" = [])),
)]
pub(super) async fn list_restaurants(
    State(app): State<Arc<App>>,
    KnownCaller(caller): KnownCaller,
    QueryOf(query): QueryOf<RestaurantListQuery>,
) -> Result<Response> {
    let query = match query {
        RestaurantListQuery::All(query) => query,
        RestaurantListQuery::Near(search) => return Ok(search_near(&app, &search)),
    };
    let RestaurantPage { mut restaurants, incomplete, unreadable } =
        read_page(&app.engine.catalogue, &query).await?;
    let incomplete = incomplete || !unreadable.is_empty();
    let now = app.engine.now();
    let next_cursor = lists::next_cursor(&mut restaurants, query.limit, |last| last.id);
    let unattended = if Boards::may_know_all(caller.as_ref()) {
        let ids: Vec<_> = restaurants.iter().map(|restaurant| restaurant.id).collect();
        Some(app.engine.boards.unattended_since(&ids).await)
    } else {
        None
    };
    let restaurants = restaurants.iter().map(|restaurant| match &unattended {
        None => RestaurantBody::new(restaurant, now),
        Some(unattended) => {
            let since = unattended.get(&restaurant.id).copied();
            RestaurantBody::for_staff(restaurant, now).unattended_since(since)
        }
    });
    let restaurants = restaurants.collect();
    Ok(lists::answer(RestaurantListBody { restaurants, next_cursor, incomplete }, incomplete))
}

/// Answers a search for restaurants that deliver to a place.
fn search_near(app: &App, search: &RestaurantSearch) -> Response {
    let SearchPage { restaurants, has_more, incomplete } = app.engine.catalogue.search(search);
    let now = app.engine.now();
    let last = restaurants.last().filter(|_| has_more);
    let next_cursor = last.map(|last| last.position.write());
    let restaurants = restaurants.iter().map(|found| RestaurantBody::near(found, now)).collect();
    lists::answer(RestaurantListBody { restaurants, next_cursor, incomplete }, incomplete)
}
