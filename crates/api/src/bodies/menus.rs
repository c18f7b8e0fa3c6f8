//! Bodies of menus.

use dabba_domain::{
    Amount, Currency, RestaurantId, Timestamp,
    menu::{
        Allergen, Availability, Diet, Gtin, ImageUrl, MenuItem, MenuOption, OptionGroup, OutsideHours,
        PriceBy,
    },
    restaurant::OpeningInterval,
    text::{ExternalCode, Name, Note, Slug},
};
use dabba_store::Catalogue;
use serde::Serialize;
use utoipa::ToSchema;

/// A restaurant's menu.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Menu)]
pub(crate) struct MenuBody<'a> {
    restaurant_id: RestaurantId,
    /// The currency of every price.
    currency: Currency,
    /// Increases with every change of the menu, and whenever an item's stock becomes limited or unlimited.
    #[schema(minimum = 1)]
    revision: u32,
    /// Increases with every change of an item's availability.
    #[schema(minimum = 1)]
    availability_revision: u32,
    categories: Vec<CategoryBody<'a>>,
}

/// A category of a menu.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MenuCategory)]
pub(crate) struct CategoryBody<'a> {
    /// The category's code in another system, unique among the categories.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_code: Option<&'a ExternalCode>,
    name: &'a Name,
    /// Hours in which the items of the category can be ordered, in the restaurant's time zone. Absent: at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    hours: Option<&'a [OpeningInterval]>,
    items: Vec<ItemBody<'a>>,
}

/// An item that can be ordered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MenuItem)]
pub(crate) struct ItemBody<'a> {
    /// Unique within the menu.
    id: &'a Slug,
    /// The item's code in another system, unique within the menu.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_code: Option<&'a ExternalCode>,
    name: &'a Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a Note>,
    /// Price of one item, without options.
    price_minor: Amount,
    /// Ids of the item's taxes. Absent: the restaurant's default taxes.
    #[serde(skip_serializing_if = "Option::is_none")]
    taxes: Option<&'a [Slug]>,
    tags: &'a [Name],
    /// Addresses of images of the item, the main image first.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    images: &'a [ImageUrl],
    /// Allergens in the item: codes for the 14 of Regulation (EU) No 1169/2011, annex II. Absent: not stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    allergens: Option<&'a [Allergen]>,
    /// Diets that the item is suitable for.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    diets: &'a [Diet],
    /// Number of the trade item in its bar code.
    #[serde(skip_serializing_if = "Option::is_none")]
    ean: Option<&'a Gtin>,
    /// Hours in which the item can be ordered, in the restaurant's time zone. Absent: at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    hours: Option<&'a [OpeningInterval]>,
    /// Present if the item cannot be ordered now because of its hours or those of its category.
    #[serde(skip_serializing_if = "Option::is_none")]
    outside_hours: Option<OutsideHours>,
    /// Whether the item is available now. An available item can be ordered if `outside_hours` is absent.
    availability: Availability,
    option_groups: Vec<GroupBody<'a>>,
    /// Whether the item's stock is limited. A quote states the remaining number.
    stock_limited: bool,
}

/// A group of options of an item.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OptionGroup)]
pub(crate) struct GroupBody<'a> {
    /// Unique within the item.
    id: &'a Slug,
    /// The group's code in another system, unique within the item.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_code: Option<&'a ExternalCode>,
    name: &'a Name,
    /// Minimum sum of the quantities of the chosen options.
    min: u32,
    /// Maximum sum of the quantities of the chosen options.
    max: u32,
    /// Maximum quantity of each option. Absent: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_per_option: Option<u32>,
    /// Number of chosen units that are free: the cheapest ones, in any order of choice. Absent: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    free: Option<u32>,
    /// Which chosen units are charged. Absent: `sum`.
    #[serde(skip_serializing_if = "Option::is_none")]
    price_by: Option<PriceBy>,
    options: Vec<OptionBody<'a>>,
}

impl<'a> GroupBody<'a> {
    fn new(group: &'a OptionGroup, now: Timestamp) -> Self {
        let OptionGroup { id, external_code, name, min, max, max_per_option, free, price_by, options } =
            group;
        Self {
            id,
            external_code: external_code.as_ref(),
            name,
            min: *min,
            max: *max,
            max_per_option: (*max_per_option != 1).then_some(*max_per_option),
            free: (*free != 0).then_some(*free),
            price_by: (!price_by.is_sum()).then_some(*price_by),
            options: options.iter().map(|option| OptionBody::new(option, now)).collect(),
        }
    }
}

/// An option of a group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MenuOption)]
pub(crate) struct OptionBody<'a> {
    /// Unique within the group.
    id: &'a Slug,
    /// The option's code in another system, unique within the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_code: Option<&'a ExternalCode>,
    name: &'a Name,
    /// Amount that the option adds to the price of one item.
    price_minor: Amount,
    /// Ids of the option's taxes. Absent: the taxes of the item.
    #[serde(skip_serializing_if = "Option::is_none")]
    taxes: Option<&'a [Slug]>,
    /// Present if the option cannot be ordered now.
    #[serde(skip_serializing_if = "Option::is_none")]
    availability: Option<Availability>,
    /// Allergens in the option: codes for the 14 of Regulation (EU) No 1169/2011, annex II. Absent: not stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    allergens: Option<&'a [Allergen]>,
    /// Diets that the option is suitable for.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    diets: &'a [Diet],
    /// Number of the trade item in its bar code.
    #[serde(skip_serializing_if = "Option::is_none")]
    ean: Option<&'a Gtin>,
}

impl<'a> OptionBody<'a> {
    fn new(option: &'a MenuOption, now: Timestamp) -> Self {
        let MenuOption { id, external_code, name, price_minor, taxes, availability, allergens, diets, ean } =
            option;
        Self {
            id,
            external_code: external_code.as_ref(),
            name,
            price_minor: *price_minor,
            taxes: taxes.as_deref(),
            availability: Some(availability.at(now)).filter(|at_now| *at_now != Availability::Available),
            allergens: allergens.as_deref(),
            diets,
            ean: ean.as_ref(),
        }
    }
}

impl<'a> MenuBody<'a> {
    pub(crate) fn new(catalogue: &'a Catalogue, now: Timestamp) -> Self {
        let zone = &catalogue.restaurant.settings.time_zone;
        let outside_hours = |item: &MenuItem| catalogue.menu.check_hours(item, zone, now).err();
        let item = |item: &'a MenuItem| ItemBody {
            id: &item.id,
            external_code: item.external_code.as_ref(),
            name: &item.name,
            description: item.description.as_ref(),
            price_minor: item.price_minor,
            taxes: item.taxes.as_deref(),
            tags: &item.tags,
            images: &item.images,
            allergens: item.allergens.as_deref(),
            diets: &item.diets,
            ean: item.ean.as_ref(),
            hours: item.hours.weekly(),
            outside_hours: outside_hours(item),
            availability: catalogue.unavailable.availability_at(item.id.as_str(), now),
            option_groups: item.option_groups.iter().map(|group| GroupBody::new(group, now)).collect(),
            stock_limited: catalogue.limited.contains(&item.id),
        };
        Self {
            restaurant_id: catalogue.restaurant.id,
            currency: catalogue.restaurant.settings.currency,
            revision: catalogue.menu_revision,
            availability_revision: catalogue.availability_revision,
            categories: catalogue
                .menu
                .categories()
                .iter()
                .map(|category| CategoryBody {
                    external_code: category.external_code.as_ref(),
                    name: &category.name,
                    hours: category.hours.weekly(),
                    items: category.items.iter().map(item).collect(),
                })
                .collect(),
        }
    }
}

/// The availability of an item.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ItemAvailability)]
pub(crate) struct AvailabilityBody {
    pub(crate) item: Slug,
    pub(crate) availability: Availability,
    /// Revision of the availability after the change.
    #[schema(minimum = 1)]
    pub(crate) availability_revision: u32,
}
