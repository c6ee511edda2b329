//! Notification configurations.

use wire::{
    Context,
    s3::{
        GetBucketNotificationConfigurationRequest, NotificationConfiguration,
        PutBucketNotificationConfigurationRequest,
    },
};

use crate::buckets::{
    Buckets,
    error::{Error, Result},
};

impl Buckets {
    pub(super) async fn put_notification(
        &self,
        cx: &Context,
        input: PutBucketNotificationConfigurationRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutBucketNotification", None)?;
        let asked = input.notification_configuration;
        match asked == NotificationConfiguration::default() {
            true => Ok(()),
            false => Err(Error::not_built("Notification of buckets")),
        }
    }

    pub(super) async fn get_notification(
        &self,
        cx: &Context,
        input: GetBucketNotificationConfigurationRequest,
    ) -> Result<NotificationConfiguration> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetBucketNotification", None)?;
        Ok(NotificationConfiguration::default())
    }
}
