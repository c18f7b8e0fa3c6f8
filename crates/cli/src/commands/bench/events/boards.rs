//! The boards that a run opens.

use dabba_domain::{AccountId, RestaurantId};
use dabba_sim::workload::Dataset;

use crate::failure::Failure;

/// Returns the ids of a dataset's restaurants.
pub(super) fn restaurants_of(dataset: &Dataset) -> Result<Vec<RestaurantId>, Failure> {
    let parsed: Result<Vec<RestaurantId>, _> = dataset.restaurants.iter().map(|id| id.parse()).collect();
    parsed.map_err(Failure::during(
        "preparing restaurants: the server's response has an id that cannot be read",
    ))
}

/// Returns the account that opens boards, and the restaurants of a number of boards, each restaurant once. Fails if the dataset
/// does not have all that is needed: a run with fewer boards would measure something else.
pub(super) fn planned_boards(
    dataset: &Dataset,
    count: usize,
) -> Result<(AccountId, Vec<RestaurantId>), Failure> {
    let staff = dataset.staff_account.ok_or_else(|| {
        Failure::new("opening boards: the restaurants have no account of their staff, and only staff attend a restaurant")
    })?;
    let mut restaurants = restaurants_of(dataset)?;
    if restaurants.len() < count {
        return Err(Failure::new(format!(
            "opening boards: {count} boards need as many restaurants, and there are {}",
            restaurants.len()
        )));
    }
    restaurants.truncate(count);
    Ok((staff, restaurants))
}

#[cfg(test)]
mod tests {
    use dabba_domain::{Bucket, Timestamp};

    use super::*;

    fn dataset(restaurants: &[&str], staff_account: Option<AccountId>) -> Dataset {
        Dataset {
            restaurants: restaurants.iter().map(|&id| id.to_owned()).collect(),
            staff: String::new(),
            staff_account,
            customers: Vec::new(),
            courier: String::new(),
            order: "{}".to_owned().into(),
            orders: Vec::new(),
            placed: None,
        }
    }

    /// Proves that a run gets all its boards, or a failure that states what is missing.
    #[test]
    fn no_board_is_left_out_silently() {
        let bucket = Bucket::from_random(0);
        let staff = AccountId::generate(Timestamp::UNIX_EPOCH, bucket, 4);
        let ids = [8, 12].map(|random| RestaurantId::generate(Timestamp::UNIX_EPOCH, bucket, random));
        let texts = ids.map(|id| id.to_string());
        let [first, second] = [texts[0].as_str(), texts[1].as_str()];
        let whole = dataset(&[first, second], Some(staff));
        assert_eq!(planned_boards(&whole, 1).unwrap(), (staff, vec![ids[0]]));
        assert_eq!(planned_boards(&whole, 2).unwrap(), (staff, ids.to_vec()));
        for (dataset, count, expected) in [
            (dataset(&[first, second], None), 1, "no account of their staff"),
            (dataset(&[first, ""], Some(staff)), 1, "an id that cannot be read"),
            (whole, 3, "3 boards need as many restaurants, and there are 2"),
        ] {
            let failure = planned_boards(&dataset, count).unwrap_err().to_string();
            assert!(failure.contains(expected), "{failure}");
        }
    }
}
