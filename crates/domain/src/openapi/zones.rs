//! Schemas of delivery zones, and of the fulfilment of a cart.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ArrayBuilder, ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema,
        schema::{ArrayItems, SchemaType, Type},
    },
};

use crate::{
    geo::Position,
    limits::{MAX_ZONE_POLYGONS, MAX_ZONE_POSITIONS, MAX_ZONE_RINGS},
    pricing::{CartFulfilment, FulfilmentKind, QuoteFulfilment},
    restaurant::ZoneArea,
};

type Schemas = Vec<(String, RefOr<Schema>)>;

/// Adds a named schema and the schemas that it uses.
fn add<T: ToSchema>(schemas: &mut Schemas) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

impl PartialSchema for Position {
    fn schema() -> RefOr<Schema> {
        let degrees = ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Number))
            .minimum(Some(-180))
            .maximum(Some(180));
        RefOr::T(Schema::Array(
            ArrayBuilder::new()
                .items(degrees)
                .min_items(Some(2))
                .max_items(Some(2))
                .description(Some(
                    "A position as in GeoJSON: longitude, then latitude, in degrees with up to 7 decimals. The latitude is \
                     from -90 to 90.",
                ))
                .build(),
        ))
    }
}
impl ToSchema for Position {}

/// Area of a delivery zone: a geometry of `GeoJSON` (RFC 7946), or a circle around the restaurant. The border belongs to the
/// area. In a request, `type` may be absent if there is a radius.
#[derive(ToSchema)]
#[schema(as = ZoneArea)]
#[serde(tag = "type")]
#[expect(dead_code, reason = "it describes the JSON form of ZoneArea")]
enum AreaSchema {
    /// A polygon of `GeoJSON`.
    Polygon {
        /// Rings.
        #[schema(schema_with = rings_of_polygon)]
        coordinates: Vec<Vec<Position>>,
    },
    /// Polygons of `GeoJSON`.
    MultiPolygon {
        /// Polygons, each with its rings.
        #[schema(schema_with = polygons)]
        coordinates: Vec<Vec<Vec<Position>>>,
    },
    /// All places within a distance of the restaurant's `location`.
    Circle {
        /// The distance in metres. 1 to 200,000.
        #[schema(minimum = 1, maximum = 200_000)]
        radius_metres: u32,
    },
}

/// Returns an array of at most `max` of these items.
fn array(items: impl Into<ArrayItems>, max: usize) -> ArrayBuilder {
    ArrayBuilder::new().items(items).max_items(Some(max))
}

fn rings() -> ArrayBuilder {
    let ring = array(Ref::from_schema_name(Position::name()), MAX_ZONE_POSITIONS).min_items(Some(4));
    array(ring, MAX_ZONE_RINGS)
}

fn rings_of_polygon() -> Schema {
    let text = "Rings: the outline, and the holes. A ring is closed: it has at least 4 positions, and the last one repeats \
                the first one.";
    Schema::Array(rings().description(Some(text)).build())
}

fn polygons() -> Schema {
    let text = "Polygons, each with its rings.";
    let polygons = array(rings(), MAX_ZONE_POLYGONS);
    Schema::Array(polygons.description(Some(text)).build())
}

impl PartialSchema for ZoneArea {
    fn schema() -> RefOr<Schema> {
        AreaSchema::schema()
    }
}
impl ToSchema for ZoneArea {
    fn name() -> Cow<'static, str> {
        "ZoneArea".into()
    }

    fn schemas(schemas: &mut Schemas) {
        add::<Position>(schemas);
    }
}

impl PartialSchema for CartFulfilment {
    fn schema() -> RefOr<Schema> {
        RefOr::T(Schema::OneOf(
            OneOfBuilder::new()
                .item(Ref::from_schema_name(FulfilmentKind::name()))
                .item(Ref::from_schema_name(QuoteFulfilment::name()))
                .description(Some(
                    "The kind of fulfilment, or an object in the form of an order's fulfilment, in which a restaurant with \
                     delivery zones requires the location of the address.",
                ))
                .build(),
        ))
    }
}
impl ToSchema for CartFulfilment {
    fn name() -> Cow<'static, str> {
        "CartFulfilment".into()
    }

    fn schemas(schemas: &mut Schemas) {
        add::<FulfilmentKind>(schemas);
        add::<QuoteFulfilment>(schemas);
    }
}
